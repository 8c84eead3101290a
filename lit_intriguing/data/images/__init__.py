"""Images in folders: found, named by classes, checked, read and prepared."""
