"""Commands of `gram` that have a file of their own, and what they share."""
