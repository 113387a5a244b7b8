#!/usr/bin/env bash
# The tutorial's own commands, typed by hand in this directory's parent; `jq -r .Account` is written as a query here. `apply`
# goes from two empty accounts to the load balancer's URL, `cleanup` back.
set -euo pipefail

account() { aws --profile "$1" sts get-caller-identity --query Account --output text; }

output() {
    aws --profile backend cloudformation describe-stacks --stack-name=am-ecs-multi-account-infra \
        --query="Stacks[0].Outputs[?OutputKey=='$1'].OutputValue" --output=text
}

deploy() {
    local profile=$1 stack=$2 template=$3
    shift 3
    aws --profile "$profile" cloudformation deploy --no-fail-on-empty-changeset --stack-name "am-ecs-multi-account-$stack" \
        --template-file "$template" --capabilities CAPABILITY_IAM "$@"
}

apply() {
    ENVOY_IMAGE=840364872350.dkr.ecr.$(aws --profile backend configure get region).amazonaws.com/aws-appmesh-envoy:v1.15.1.0-prod

    aws --profile backend appmesh create-mesh --mesh-name yelb
    deploy backend infra account_backend/infra.yml
    deploy backend appmesh-resources account_backend/appmesh_resources.yml
    deploy backend redis-and-database account_backend/redis_and_database.yml \
        --parameter-overrides "EnvoyImage=$ENVOY_IMAGE"
    deploy backend resource-share account_backend/share_resources.yml \
        --parameter-overrides "ConsumerAccountId=$(account frontend)"
    deploy frontend infra account_frontend/infra.yml \
        --parameter-overrides "VPC=$(output VPC)"
    deploy frontend appmesh-resources account_frontend/appmesh_resources.yml \
        --parameter-overrides "MeshOwner=$(account backend)"
    deploy frontend frontend-and-appserver account_frontend/app_and_frontend.yml \
        --parameter-overrides \
        "VPC=$(output VPC)" \
        "PrivateSubnet1=$(output PrivateSubnet1)" \
        "PrivateSubnet2=$(output PrivateSubnet2)" \
        "PublicSubnet1=$(output PublicSubnet1)" \
        "PublicSubnet2=$(output PublicSubnet2)" \
        "MeshOwner=$(account backend)" \
        "EnvoyImage=$ENVOY_IMAGE"

    aws --profile frontend cloudformation describe-stacks --stack-name am-ecs-multi-account-frontend-and-appserver \
        --query="Stacks[0].Outputs[?OutputKey=='PublicEndpoint'].OutputValue" --output=text
}

delete() {
    aws --profile "$1" cloudformation delete-stack --stack-name "am-ecs-multi-account-$2"
    aws --profile "$1" cloudformation wait stack-delete-complete --stack-name "am-ecs-multi-account-$2"
}

cleanup() {
    delete frontend frontend-and-appserver
    delete frontend appmesh-resources
    delete frontend infra
    delete backend resource-share
    delete backend redis-and-database
    delete backend appmesh-resources
    delete backend infra
    aws --profile backend appmesh delete-mesh --mesh-name yelb
}

"$1"
