"""Collect the numbers of the transfer matrix: one CSV row for each attack, pair of encoders and victim."""

from featpoison.programs import collected
from featpoison.results.transfer import cells_of_results, read_results
from featpoison.results.transfer_cells import to_csv

if __name__ == "__main__":
    text = "JSON: features and clean heads by encoder; results, and the encoder that each was made against"
    collected.run(__doc__, "--results", text, read=read_results, cells_of=cells_of_results, to_csv=to_csv)
