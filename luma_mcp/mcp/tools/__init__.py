"""Every tool, one module for each noun. A tool is a model of its arguments, a function, and a model of its result."""
