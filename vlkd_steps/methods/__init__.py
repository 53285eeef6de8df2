"""A subpackage for each method: ``__init__`` declares it without torch, ``objective`` is what a run optimises.

Beside them stands what several objectives share.
"""
