"""State: what is kept in etcd, under which keys, and how it is changed."""
