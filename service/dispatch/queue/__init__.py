"""Several workers over Redis: what the API process puts in, what workers take out, and who may publish."""
