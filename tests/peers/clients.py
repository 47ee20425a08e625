"""Two clients that know nothing of each other: one speaks JSON, one the stubs made from the protos.

Both take and give the JSON form, so that answers can be compared with `==`. The translation to protos
is made from the descriptors alone; a field that only one door has would be an error here.
"""

import http.client
import json
from dataclasses import dataclass

import grpc
from google.protobuf.descriptor import FieldDescriptor
from offerd.v1 import decision_pb2, decision_pb2_grpc, event_pb2, event_pb2_grpc

WAIT_S_MAX = 20


@dataclass(frozen=True)
class Refused(Exception):
    """An error as both doors tell it: the HTTP status or gRPC code, the field, and the rest."""

    code: object
    field: str | None
    detail: str


# ── JSON ──

def call(address, method, path, body=None, headers=None):
    """One HTTP request: status, headers with lowercase names, body as bytes."""
    connection = http.client.HTTPConnection(address, timeout=WAIT_S_MAX)
    try:
        connection.request(method, path, body=body, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    finally:
        connection.close()


class JsonDoor:
    name = "json"

    def __init__(self, address, key=None):
        self.address = address
        self.headers = {"authorization": f"Bearer {key}"} if key else {}

    def decide(self, request, **headers):
        return self._post("/v1/decisions", request, headers)

    def record(self, events):
        return self._post("/v1/events", {"events": events}, {})

    def _post(self, path, body, headers):
        headers = {"content-type": "application/json", **self.headers,
                   **{name.replace("_", "-"): value for name, value in headers.items()}}
        status, answered, body = call(self.address, "POST", path, json.dumps(body), headers)
        answer = json.loads(body)
        if status == 200:
            assert answered["content-type"] == "application/json"
            return answer
        assert answered["content-type"] == "application/problem+json", answered
        assert answer["status"] == status
        raise Refused(status, answer.get("field"), answer.get("detail", answer["title"]))


# ── gRPC ──

class GrpcDoor:
    name = "grpc"

    def __init__(self, address, key=None):
        self.channel = grpc.insecure_channel(address)
        self.decisions = decision_pb2_grpc.DecisionServiceStub(self.channel)
        self.events = event_pb2_grpc.EventServiceStub(self.channel)
        self.metadata = [("authorization", f"Bearer {key}")] if key else []

    def decide(self, request, **headers):
        metadata = self.metadata + [(n.replace("_", "-"), v) for n, v in headers.items()]
        message = to_proto(request, decision_pb2.DecideRequest())
        return self._unary(self.decisions.Decide, message, metadata)

    def decide_stream(self, requests):
        messages = (to_proto(request, decision_pb2.DecideRequest()) for request in requests)
        for answer in self.decisions.DecideStream(messages, metadata=self.metadata, timeout=WAIT_S_MAX):
            yield from_proto(answer)

    def record(self, events):
        message = to_proto({"events": events}, event_pb2.RecordRequest())
        return self._unary(self.events.Record, message, self.metadata)

    def close(self):
        self.channel.close()

    def _unary(self, method, message, metadata):
        try:
            return from_proto(method(message, metadata=metadata, timeout=WAIT_S_MAX))
        except grpc.RpcError as error:
            raise refused(error) from None


def refused(error):
    """`field: detail`, or a sentence where no field is to blame."""
    field, colon, detail = error.details().partition(": ")
    if colon and " " not in field:
        return Refused(error.code(), field, detail)
    return Refused(error.code(), None, error.details())


# ── From one form to the other ──

def to_proto(value, message):
    """Fills a message with the JSON form of it; `None` is absent."""
    for name, told in value.items():
        if told is None:
            continue
        field = message.DESCRIPTOR.fields_by_name[name]
        if field.message_type and field.message_type.GetOptions().map_entry:
            for key, item in told.items():
                if item is not None:
                    put(getattr(message, name)[key], item)
                else:
                    getattr(message, name)[key].SetInParent()
        elif field.is_repeated:
            for item in told:
                if field.message_type:
                    put(getattr(message, name).add(), item)
                else:
                    getattr(message, name).append(item)
        elif field.message_type:
            getattr(message, name).SetInParent()
            put(getattr(message, name), told)
        elif field.enum_type:
            setattr(message, name, enum_number(field.enum_type, told))
        else:
            setattr(message, name, told)
    return message


def put(message, told):
    if message.DESCRIPTOR.full_name == "google.protobuf.Timestamp":
        message.FromJsonString(told)
    elif message.DESCRIPTOR.name == "FeatureValue":
        kinds = {bool: "flag", int: "number", float: "number", str: "text"}
        setattr(message, kinds[type(told)], told)
    else:
        to_proto(told, message)


def enum_number(enum, word):
    """A word that the enum has not becomes a number that no release will ever give out."""
    value = enum.values_by_name.get(prefix(enum) + word.upper())
    return value.number if value else 9_999


def enum_word(enum, number):
    return enum.values_by_number[number].name.removeprefix(prefix(enum)).lower() if number else None


def prefix(enum):
    return enum.values_by_number[0].name.removesuffix("UNSPECIFIED")


def from_proto(message):
    """The JSON form of a message, with every field in it; what is absent is `None`."""
    return {field.name: field_from_proto(message, field) for field in message.DESCRIPTOR.fields}


def field_from_proto(message, field):
    value = getattr(message, field.name)
    if field.is_repeated:
        return [item_from_proto(field, item) for item in value]
    if field.has_presence and not message.HasField(field.name):
        return None
    return item_from_proto(field, value)


def item_from_proto(field, value):
    if field.type == FieldDescriptor.TYPE_ENUM:
        return enum_word(field.enum_type, value)
    if field.message_type is None:
        return value
    if field.message_type.full_name == "google.protobuf.Timestamp":
        return value.ToJsonString()
    return from_proto(value)


STATUS_OF = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
}
