"""Services of our own on AWS's wire: requests are parsed and answers written by the service's model, as moto does it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from moto.core.exceptions import ServiceException
from moto.core.model import OperationModel, ServiceModel
from moto.core.parse import PROTOCOL_PARSERS
from moto.core.request import Request
from moto.core.serialize import get_serializer_class
from moto.core.utils import camelcase_to_underscores, get_service_model
from werkzeug.wrappers import Response


class Refused(ServiceException):
    """An error of the API."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Caller:
    """Who asks, and where."""

    account: str
    region: str


class Service:
    """A service whose operations are the methods of their names: `create_mesh(caller, parameters)`."""

    name: str

    def __init__(self) -> None:
        self.model: ServiceModel = get_service_model(self.name)
        self._routes = list(_routes(self.model)) if self.model.protocol.startswith("rest") else []

    def answer(self, request: Request, caller: Caller) -> Response:
        operation, in_path = self._operation(request)
        serializer = get_serializer_class(self.name, self.model.protocol)(operation)
        parser = PROTOCOL_PARSERS[self.model.protocol](operation)
        parameters = parser.parse(
            {
                "method": request.method,
                "values": request.values,
                "headers": request.headers,
                "body": request.data,
                "url_path": request.path,
                "url_params": in_path,
            }
        )
        parameters = {name: value for name, value in parameters.items() if value is not None}
        result: Any
        try:
            result = self._method(operation)(caller, parameters)
        except ServiceException as error:
            result = error
        written = serializer.serialize(result)
        return Response(written["body"], written["status_code"], written["headers"])

    def _operation(self, request: Request) -> tuple[OperationModel, dict[str, str]]:
        if not self._routes:
            return self.model.operation_model(request.values["Action"]), {}
        for method, pattern, operation in self._routes:
            found = pattern.fullmatch(request.path)
            if method == request.method and found:
                return operation, found.groupdict()
        raise LookupError(f"{self.name}: {request.method} {request.path} is not in the service's model")

    def _method(self, operation: OperationModel) -> Callable[[Caller, dict[str, Any]], Any]:
        method = getattr(self, camelcase_to_underscores(operation.name), None)
        if method is None:
            raise NotImplementedError(f"{self.name}: {operation.name} is not emulated")
        return method


def _routes(model: ServiceModel) -> Iterable[tuple[str, re.Pattern[str], OperationModel]]:
    for name in model.operation_names:
        operation = model.operation_model(name)
        path = operation.http["requestUri"].split("?")[0]
        pattern = re.sub(r"\{(\w+)}", r"(?P<\1>[^/]+)", path)
        yield operation.http["method"], re.compile(pattern), operation
