"""Where pictures come from. `source` says what a source is; a new kind is a new module here and a line in `spec`."""
