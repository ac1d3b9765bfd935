"""Who may do what: identities, roles, what binds the one to the other, and the one place that decides. Pure."""
