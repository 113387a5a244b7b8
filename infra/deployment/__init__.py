"""What `infra/deploy` and `infra/cleanup` do. Python's standard library, the `aws` and the `docker` command; nothing else."""
