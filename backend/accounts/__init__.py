"""What stages may reach: service accounts, destinations, and keeping secrets out of what is shown. Pure."""
