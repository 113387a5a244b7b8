# All images for both platforms, with labels that tell where they are from:
#
#     REGISTRY=ghcr.io/OWNER/ TAG=0.1.0 REVISION=$(git rev-parse HEAD) \
#     docker buildx bake --file docker-bake.hcl --push
#
# One of them for this machine alone: docker buildx bake --file docker-bake.hcl --load --set '*.platform=linux/amd64' yelb-ui

# With a slash at its end.
variable "REGISTRY" { default = "" }
variable "TAG" { default = "latest" }
# As Cargo.toml has it.
variable "VERSION" { default = "0.1.0" }
# The commit that the images are made of.
variable "REVISION" { default = "" }

group "default" {
  targets = ["yelb", "yelb-ui", "yelb-appserver", "yelb-db", "yelb-envoy", "yelb-certificates"]
}

target "every" {
  platforms = ["linux/amd64", "linux/arm64"]
  labels = {
    "org.opencontainers.image.version"  = VERSION
    "org.opencontainers.image.revision" = REVISION
  }
}

# Those that have a program of this workspace, which tells its version and commit, too.
target "program" {
  inherits = ["every"]
  args     = { VERSION = VERSION, REVISION = REVISION }
}

target "yelb" {
  inherits = ["program"]
  target   = "yelb"
  tags     = ["${REGISTRY}yelb:${TAG}"]
}

target "yelb-ui" {
  inherits = ["program"]
  target   = "yelb-ui"
  tags     = ["${REGISTRY}yelb-ui:${TAG}"]
}

target "yelb-appserver" {
  inherits = ["program"]
  target   = "yelb-appserver"
  tags     = ["${REGISTRY}yelb-appserver:${TAG}"]
}

target "yelb-db" {
  inherits   = ["every"]
  dockerfile = "yelb-db/image/Dockerfile"
  tags       = ["${REGISTRY}yelb-db:${TAG}"]
}

target "yelb-envoy" {
  inherits = ["every"]
  context  = "infra/envoy"
  tags     = ["${REGISTRY}yelb-envoy:${TAG}"]
}

target "yelb-certificates" {
  inherits = ["every"]
  context  = "infra/certificates"
  tags     = ["${REGISTRY}yelb-certificates:${TAG}"]
}
