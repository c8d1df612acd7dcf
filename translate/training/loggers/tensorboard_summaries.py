"""TensorBoard's summaries of a whole run: its row of the HParams tab, and the charts of the Custom Scalars tab."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.plugins.hparams.api_pb2 import STATUS_FAILURE, STATUS_SUCCESS
from tensorboard.plugins.hparams.metadata import (
    NULL_TENSOR,
    PLUGIN_DATA_VERSION,
    PLUGIN_NAME,
    SESSION_END_INFO_TAG,
    SESSION_START_INFO_TAG,
)
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo
from torch.utils.tensorboard.summary import custom_scalars

from translate.training.loggers.logger import INTERVAL, Status, Value


def session_start(title: str, values: Mapping[str, Value]) -> Summary:
    """Settings and results of a run, which the table of the HParams tab shows under `title`."""
    info = SessionStartInfo(group_name=title, start_time_secs=time.time())
    for name, value in values.items():
        if isinstance(value, bool):
            info.hparams[name].bool_value = value
        elif isinstance(value, str):
            info.hparams[name].string_value = value
        else:
            info.hparams[name].number_value = value
    return hparams_summary(SESSION_START_INFO_TAG, session_start_info=info)


def session_end(status: Status) -> Summary:
    """End of a session: success or failure."""
    code = STATUS_SUCCESS if status is Status.finished else STATUS_FAILURE
    return hparams_summary(
        SESSION_END_INFO_TAG, session_end_info=SessionEndInfo(status=code, end_time_secs=time.time())
    )


def hparams_summary(tag: str, **info: Any) -> Summary:
    """A summary of the HParams plugin; info: the one field of HParamsPluginData with its value."""
    content = HParamsPluginData(version=PLUGIN_DATA_VERSION, **info).SerializeToString()
    plugin = SummaryMetadata.PluginData(plugin_name=PLUGIN_NAME, content=content)
    value = Summary.Value(tag=tag, tensor=NULL_TENSOR, metadata=SummaryMetadata(plugin_data=plugin))
    return Summary(value=[value])


def layout(scores: Sequence[str]) -> Summary:
    """The charts that matter most in a run; scores: of a validation, the first with its confidence interval."""
    score = scores[0]
    interval = [f"score/{score}", f"{INTERVAL}/{score}_low", f"{INTERVAL}/{score}_high"]
    # a category of its own: TensorBoard shows margin charts of a category after its others
    validation = {f"validation {score} with its 95 % confidence interval": ["Margin", interval]}
    charts = {
        "loss": ["Multiline", ["^loss/train$", "^loss/valid$"]],
        "learning rate": ["Multiline", ["^train/learning_rate$"]],
        "gradient norm": ["Multiline", ["^train/gradient_norm$"]],
        "target tokens per second": ["Multiline", ["^speed/target_tokens_per_second$"]],
    }
    return custom_scalars({"validation": validation, "training": charts})
