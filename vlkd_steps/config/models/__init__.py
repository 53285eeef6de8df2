"""The models of the configuration: one for each kind of file and section. They import no torch."""
