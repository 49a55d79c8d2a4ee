"""What a user looks at: the report of a RUN as one HTML page, the table of runs, the local page to explore pictures."""
