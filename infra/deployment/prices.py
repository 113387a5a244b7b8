"""What runs, and what it costs an hour."""

from __future__ import annotations

from typing import List, Tuple

from .options import Options

AS_OF = "us-east-1's list prices of November 2026"
"""Other Regions are up to a third dearer. Traffic, logs, traces and metrics come on top."""

_HOURS_A_MONTH = 730

# In dollars an hour.
_VCPU = 0.04048
_GIB = 0.004445
_LOAD_BALANCER = 0.0225
_NAT_GATEWAY = 0.045
_PUBLIC_ADDRESS = 0.005
_DATABASE = 0.016  # db.t4g.micro; a standby costs the same
_CACHE_NODE = 0.016  # cache.t4g.micro
_FILES_GIB = 0.30 / _HOURS_A_MONTH  # EFS, of more than one zone
_SECRET = 0.40 / _HOURS_A_MONTH
_ZONE = 0.50 / _HOURS_A_MONTH

# Of each task definition.
_TASK = 0.25 * _VCPU + 0.5 * _GIB

_ZONES_OF_SUBNETS = 2


def bill(options: Options) -> List[Tuple[str, float]]:
    """What is paid for by the hour, and its price."""
    tasks = 2 * options.desired_count + (0 if options.managed_stores else 2)
    zones = {"envoy": 3, "appmesh": 2, "service-connect": 1}[options.flavour]
    addresses = options.nat_gateways + _ZONES_OF_SUBNETS
    lines = [
        (f"{tasks} tasks on Fargate, 0.25 vCPU and 0.5 GiB each", tasks * _TASK),
        ("load balancer", _LOAD_BALANCER),
        (f"NAT gateway x {options.nat_gateways}", options.nat_gateways * _NAT_GATEWAY),
        (f"public IPv4 addresses x {addresses}", addresses * _PUBLIC_ADDRESS),
        ("secrets x 6", 6 * _SECRET),
        (f"private DNS zones x {zones}", zones * _ZONE),
    ]
    if options.managed_stores:
        lines += [("RDS, with a standby", 2 * _DATABASE), ("ElastiCache, two nodes", 2 * _CACHE_NODE)]
    else:
        lines.append(("EFS for the votes, at 1 GiB", _FILES_GIB))
    return lines


def total(options: Options) -> float:
    return sum(price for _, price in bill(options))
