"""One module per system: workers with the tasks train, decode, convert and translate_line, as far as it has them.

Modules of peers run in an environment of their own and import nothing of the package `translate`. They import their
libraries in the tasks, since some tasks measure the start of a process.
"""
