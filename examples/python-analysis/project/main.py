"""Reads the CSV in the input folder; leaves a table by season, a plot and a log."""

import argparse
import logging
import pathlib

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import pandas as pd

import seasons

parser = argparse.ArgumentParser()
parser.add_argument("-i", required=True, help="input folder")
parser.add_argument("-o", required=True, help="output folder")
folders = parser.parse_args()
out = pathlib.Path(folders.o)
logging.basicConfig(filename=out / "run.log", level=logging.INFO, format="%(message)s")

(source,) = pathlib.Path(folders.i).glob("*.csv")
days = pd.read_csv(source, parse_dates=["date"])
days["season"] = days["date"].dt.month.map(seasons.of)
table = days.groupby("season")["celsius"].agg(["mean", "min", "max", "count"]).reindex(seasons.NAMES)
table.round(2).to_csv(out / "output.csv")

figure, axes = plt.subplots(figsize=(8, 3), layout="constrained")
axes.plot(days["date"], days["celsius"], linewidth=0.8)
axes.set(title=source.stem, ylabel="°C")
figure.savefig(out / "plot.png", dpi=120)
logging.info("%s: %d days, %.1f °C on average", source.name, len(days), days["celsius"].mean())
