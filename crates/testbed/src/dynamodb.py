"""Runs moto's server on a port of 127.0.0.1 such that requests take turns.

DynamoDB does one after the other what concerns the same item. moto leaves that to its callers, and its transactions put a whole
table back that others have written to meanwhile. It also copies the whole table for each item of a transaction; here it does so
once.
"""

import copy
import sys
import threading

from moto.dynamodb import models
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import run_simple


class Copies:
    kept = {}

    def deepcopy(self, original):
        if not isinstance(original, models.Table):
            return copy.deepcopy(original)
        if original.name not in self.kept:
            self.kept[original.name] = copy.deepcopy(original)
        return self.kept[original.name]


models.copy = Copies()
server, turn = DomainDispatcherApplication(create_backend_app), threading.Lock()


def one_at_a_time(environment, respond):
    with turn:
        models.copy.kept.clear()
        return list(server(environment, respond))


run_simple("127.0.0.1", int(sys.argv[1]), one_at_a_time, threaded=True, request_handler=MotoRequestHandler)
