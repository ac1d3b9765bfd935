"""What the screens are made of. Nothing here knows the API: widgets are given rows, lines and pictures."""
