"""What a schema cannot say: rules on documents, each with a code, one file per subject."""
