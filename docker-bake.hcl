# All images for both platforms, with labels that tell where they are from:
#
#     REGISTRY=123456789012.dkr.ecr.eu-central-1.amazonaws.com/ TAG=0.1.0 REVISION=$(git rev-parse HEAD) \
#     docker buildx bake --push
#
# One of them for this machine alone: docker buildx bake --load --set '*.platform=linux/amd64' yelb-ui

# With a slash at its end.
variable "REGISTRY" { default = "" }
variable "TAG" { default = "latest" }
# The commit that the images are made of.
variable "REVISION" { default = "" }

group "default" {
  targets = ["yelb-ui", "yelb-appserver", "yelb-db", "yelb-envoy", "yelb-certificates"]
}

target "every" {
  platforms = ["linux/amd64", "linux/arm64"]
  labels = {
    "org.opencontainers.image.version"  = TAG
    "org.opencontainers.image.revision" = REVISION
  }
}

target "yelb-ui" {
  inherits = ["every"]
  target   = "yelb-ui"
  tags     = ["${REGISTRY}yelb-ui:${TAG}"]
}

target "yelb-appserver" {
  inherits = ["every"]
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
