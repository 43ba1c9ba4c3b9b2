"""The emulator keeps to its own description, whatever it is sent. `--calls N` says how much."""

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.specs.openapi import checks

from luma_mcp.emulator.app import Emulator
from luma_mcp.emulator.dream_machine import operations
from luma_mcp.emulator.dream_machine.app import PREFIX
from luma_mcp.emulator.dream_machine.bodies import VideoBody
from luma_mcp.emulator.dream_machine.openapi import PATH
from tests.support.agent import TOKEN

pytestmark = pytest.mark.medium

# Luma's server takes "yes" for a boolean, answers 400 to what breaks a rule that no schema states, and says 403 where
# 401 would be usual to a request without a key.
NOT_PROMISED = [checks.negative_data_rejection, checks.positive_data_acceptance, checks.missing_required_header]
KEY = {"Authorization": f"Bearer {TOKEN}"}

emulator = Emulator(token=TOKEN, credit_usd=1e9, limits={}, speed=1e6)
description = schemathesis.openapi.from_asgi(PATH, emulator.app)
OPERATIONS = {item.ok().label: item.ok() for item in description.get_all_operations()}


def test_every_endpoint_is_described() -> None:
    assert len(OPERATIONS) == 8 + len(operations.OPERATIONS)
    assert f"POST {PREFIX}/generations/{{id}}/audio" in OPERATIONS


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.name)
@pytest.mark.parametrize("label", OPERATIONS)
def test_every_answer_is_one_of_those_described(
    label: str, mode: GenerationMode, request: pytest.FixtureRequest
) -> None:
    calls = max(1, request.config.getoption("--calls") // (2 * len(OPERATIONS)))

    @settings(max_examples=calls, phases=[Phase.generate], deadline=None, suppress_health_check=list(HealthCheck))
    @given(OPERATIONS[label].as_strategy(generation_mode=mode), st.booleans())
    def call(case: Case, is_known: bool) -> None:
        if is_known and "id" in case.path_parameters:
            case.path_parameters["id"] = emulator.dream_machine.accept(VideoBody(model="ray-2", prompt="a boat")).id
        case.call_and_validate(headers=KEY, excluded_checks=NOT_PROMISED)

    call()
