"""Real processes, run with the settings that the templates and the files of Envoy give them."""
