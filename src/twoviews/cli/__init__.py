"""The command line: `main`, and one module a verb that reads options, calls one library function, and prints. No torch until a verb runs."""
