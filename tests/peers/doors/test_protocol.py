"""What gRPC's own tools expect: health, reflection, deadlines, keys; and two ports that are two."""

import json
import queue

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from google.protobuf.descriptor_pool import DescriptorPool
from offerd.v1 import decision_pb2, decision_pb2_grpc, model_pb2, model_pb2_grpc

import clients
import questions

SERVING = health_pb2.HealthCheckResponse.SERVING
PUBLIC = {"offerd.v1.DecisionService", "offerd.v1.EventService"}


@pytest.fixture(params=["public", "admin"])
def channel(request, open_server):
    with grpc.insecure_channel(getattr(open_server, request.param)) as channel:
        yield request.param, channel


def test_health(channel):
    _, channel = channel
    stub = health_pb2_grpc.HealthStub(channel)
    for service in ["", *PUBLIC]:
        answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
        assert answer.status == SERVING, service
    with pytest.raises(grpc.RpcError) as refused:
        stub.Check(health_pb2.HealthCheckRequest(service="no.such.Service"), timeout=10)
    assert refused.value.code() == grpc.StatusCode.NOT_FOUND


def test_reflection_lists_what_answers_on_its_port(channel):
    port, channel = channel
    database = ProtoReflectionDescriptorDatabase(channel)
    services = {name for name in database.get_services() if name.startswith("offerd.")}
    assert services == PUBLIC if port == "public" else PUBLIC.isdisjoint(services)
    assert services, "nothing is listed"
    pool = DescriptorPool(database)
    for name in services:
        assert pool.FindServiceByName(name).methods


def test_reflection_tells_the_fields(open_server):
    with grpc.insecure_channel(open_server.public) as channel:
        pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
        told = pool.FindMessageTypeByName("offerd.v1.DecideRequest")
        ours = decision_pb2.DecideRequest.DESCRIPTOR
        assert [(f.name, f.number) for f in told.fields] == [(f.name, f.number) for f in ours.fields]


@pytest.mark.parametrize("wait_s, degraded", [(30, ["model_deadline"]), (100, [])])
def test_less_is_done_where_the_deadline_is_near(keyed_doors, wait_s, degraded):
    """This server calls everything below 40 seconds near, so that no machine is too slow for the test."""
    by_json, by_grpc = keyed_doors("secret")
    message = clients.to_proto(questions.plain(), decision_pb2.DecideRequest())
    answer = by_grpc.decisions.Decide(message, timeout=wait_s, metadata=by_grpc.metadata)
    assert clients.from_proto(answer)["degraded"] == degraded
    told = questions.plain() | {"deadline_ms": 30_000}
    assert by_json.decide(told)["degraded"] == by_grpc.decide(told)["degraded"] == ["model_deadline"]


def test_a_deadline_that_passes_ends_a_stream(doors):
    _, by_grpc = doors
    silence = queue.SimpleQueue()
    answers = by_grpc.decisions.DecideStream(iter(silence.get, None), timeout=0.2)
    with pytest.raises(grpc.RpcError) as refused:
        next(answers)
    silence.put(None)
    assert refused.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert by_grpc.decide(questions.plain())["placements"][0]["offers"], "the next one is answered"


def test_services_answer_on_their_own_port_only(open_server):
    message = clients.to_proto(questions.plain(), decision_pb2.DecideRequest())
    with grpc.insecure_channel(open_server.admin) as channel:
        with pytest.raises(grpc.RpcError) as refused:
            decision_pb2_grpc.DecisionServiceStub(channel).Decide(message, timeout=10)
        assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED
        assert model_pb2_grpc.ModelServiceStub(channel).ListModels(
            model_pb2.ListModelsRequest(), timeout=10).models
    with grpc.insecure_channel(open_server.public) as channel:
        with pytest.raises(grpc.RpcError) as refused:
            model_pb2_grpc.ModelServiceStub(channel).ListModels(model_pb2.ListModelsRequest(), timeout=10)
        assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("kind, status", [(None, 401), ("admin", 403), ("page", 403)])
def test_who_may_not_decide_is_told_so(keyed_doors, kind, status):
    """A page's key without its page's origin is as good as none."""
    for door, code in zip(keyed_doors(kind), (status, clients.STATUS_OF[status])):
        with pytest.raises(clients.Refused) as refused:
            door.decide(questions.plain())
        assert refused.value.code == code, door.name


def test_only_secret_keys_see_scores(keyed_doors):
    hidden = ("score", "conversion_probability", "propensity", "explored")
    for kind, seen in (("secret", True), ("app", False)):
        for door in keyed_doors(kind):
            offer = door.decide(questions.plain())["placements"][0]["offers"][0]
            assert [offer.get(name) is not None for name in hidden] == [seen] * 4, (kind, door.name)


def test_a_page_is_believed_about_trouble_only(keyed_doors):
    for door in keyed_doors("app"):
        offer = door.decide(questions.greeted("Mallory"))["placements"][0]["offers"][0]
        assert offer["class"] == "care" and "Mallory" not in str(offer["content"]), door.name


def test_a_signed_context_is_believed_at_both_doors(keyed_server, keyed_doors):
    known = {"customer": {"id": "c-1", "features": {"first_name": "Ana"}}, "ttl_seconds": 60}
    headers = {"content-type": "application/json"}

    def sign(kind):
        key = {"authorization": f"Bearer {keyed_server.keys[kind]}"} if kind else {}
        status, _, body = clients.call(
            keyed_server.public, "POST", "/v1/context", json.dumps(known), headers | key)
        return status, json.loads(body)

    assert [sign(kind)[0] for kind in (None, "app", "admin")] == [401, 403, 403]
    status, signed = sign("secret")
    assert status == 200
    answers = []
    for door in keyed_doors("app"):
        request = questions.greeted("Mallory") | {"context_token": signed["token"]}
        answers.append(door.decide(request))
        assert "Ana" in str(answers[-1]["placements"]), door.name
        forged = request | {"context_token": signed["token"][:-2] + "AA"}
        with pytest.raises(clients.Refused) as refused:
            door.decide(forged)
        assert refused.value.field == "context_token"
    titles = [[p["offers"][0]["content"] for p in answer["placements"]] for answer in answers]
    assert titles[0] == titles[1]
