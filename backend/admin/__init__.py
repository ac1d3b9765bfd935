"""What an administrator does beside the daemon: certificates, accounts, backups. Each is a program of its own."""
