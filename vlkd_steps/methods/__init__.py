"""One module a method: the objective that a run optimises, or how a run that trains nothing answers."""
