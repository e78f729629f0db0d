"""Collect the numbers of the stage ablation: one CSV row for each row of a pipeline and victim, with the
paired difference to the full pipeline."""

from featpoison.programs import collected
from featpoison.results.ablation import cells_of_rows, read_rows
from featpoison.results.ablation_cells import to_csv

if __name__ == "__main__":
    text = "JSON: the scenario's features and clean heads; rows with pipeline, stage and result file"
    collected.run(__doc__, "--rows", text, read=read_rows, cells_of=cells_of_rows, to_csv=to_csv)
