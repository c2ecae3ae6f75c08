"""A stream of any length in the form of MovieTweetings, for archive_e2e.py.

    python3 .ci/simulate.py --events N --users N --items N --into DIR [--seed N]

Users and items are drawn by Zipf's law, each event is a second after the one before it, and no row is
there twice. The same arguments give the same bytes.
"""

import argparse
import itertools
import random
from pathlib import Path

GENRES = ("Action", "Comedy", "Drama", "Horror", "Romance", "Sci-Fi", "Thriller", "War")
START = 1_365_000_000
AT_ONCE = 100_000


def zipf(count):
    return list(itertools.accumulate(1 / (rank + 1) for rank in range(count)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, required=True)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--items", type=int, default=50_000)
    parser.add_argument("--into", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    draw = random.Random(args.seed)
    args.into.mkdir(parents=True)
    with open(args.into / "movies.dat", "w", encoding="utf-8") as movies:
        for item in range(args.items):
            genres = "|".join(draw.sample(GENRES, 2))
            movies.write(f"{item:07}::Title {item} ({1950 + item % 70})::{genres}\n")
    users, items = zipf(args.users), zipf(args.items)
    time = START
    with open(args.into / "ratings.dat", "w", encoding="utf-8") as ratings:
        for begun in range(0, args.events, AT_ONCE):
            count = min(AT_ONCE, args.events - begun)
            who = draw.choices(range(1, args.users + 1), cum_weights=users, k=count)
            what = draw.choices(range(args.items), cum_weights=items, k=count)
            stars = draw.choices(range(1, 11), k=count)
            rows = []
            for user, item, rating in zip(who, what, stars):
                time += 1
                rows.append(f"{user}::{item:07}::{rating}::{time}\n")
            ratings.write("".join(rows))


if __name__ == "__main__":
    main()
