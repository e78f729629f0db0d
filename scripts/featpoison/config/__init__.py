"""The configuration: frozen, typed models of the YAML. The one source of defaults, schema and the
documentation of every knob."""

from featpoison.config.declared import Attacks, Defences
from featpoison.config.defended import DefenceTable, DefendedRow
from featpoison.config.encoders import EncoderEntry, PoisoningOf, Pretraining, ScreeningBy, Snapshot
from featpoison.config.loading import Config, ConfigError, load, of_files, parse, read, schema
from featpoison.config.studies import Ablation, TransferMatrix
from featpoison.config.tables import (
    POISONS_ALONE,
    Figures,
    PretrainingRow,
    PretrainingTable,
    Scenario,
    Table,
    TableRow,
)

__all__ = [
    "POISONS_ALONE",
    "Ablation",
    "Attacks",
    "Config",
    "ConfigError",
    "DefenceTable",
    "Defences",
    "DefendedRow",
    "EncoderEntry",
    "Figures",
    "PoisoningOf",
    "Pretraining",
    "PretrainingRow",
    "PretrainingTable",
    "Scenario",
    "ScreeningBy",
    "Snapshot",
    "Table",
    "TableRow",
    "TransferMatrix",
    "load",
    "of_files",
    "parse",
    "read",
    "schema",
]
