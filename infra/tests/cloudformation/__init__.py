"""CloudFormation's own language: reading a template and working out what it says for given parameters."""
