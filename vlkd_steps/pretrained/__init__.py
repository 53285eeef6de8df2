"""Models that others have published: the one way in which their files reach a library, and what came of them."""
