#!/bin/sh
# The main job from nothing: weights, the catalogue, six questions. Run by `make demo`.
set -eu
BIN=${BIN:-.venv/bin}
DATA=${DATA:-build/demo}
nearfield="$BIN/nearfield"

"$nearfield" model pull all-MiniLM-L6-v2
"$nearfield" import examples/products/catalogue.csv --collection products --id id --embed "{name}: {description}" --data "$DATA"

ask() {
    printf '\n$ nearfield search products "%s"%s\n' "$1" "${2:+ --where \"$2\"}"
    "$nearfield" search products "$1" ${2:+--where "$2"} --limit 4 --data "$DATA"
}
ask "affordable audio gear" "price < 100"
ask "something to keep coffee hot on the train" "price < 50"
ask "gift for a child who loves space" "price < 70"
ask "stop the cat from ruining my sofa"
ask "skincare for the seaside" "price < 30"
ask "stay dry walking in a downpour" "in_stock = true"

cat <<END

Start the service and try it:
  $nearfield serve --data $DATA
  curl -s http://127.0.0.1:7700/v1/collections/products/search -H 'content-type: application/json' -d '{"query": "affordable audio gear", "filter": {"price": {"\$lte": 100}}, "limit": 3}'
END
