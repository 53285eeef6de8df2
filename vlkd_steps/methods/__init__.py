"""A subpackage for each method: ``__init__`` declares it without torch, ``objective`` is what a run optimises.

The modules beside them are shared by several objectives.
"""
