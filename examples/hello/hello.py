import json
import os

with open(os.environ["MOORLINE_INPUT"], encoding="utf-8") as file:
    print(json.load(file)["params"]["greeting"])
