// What changed from one answer to the next. Pure.

/** Rank of each item among those that are in both lists. */
function ranksAmong(items, ids) {
  const shared = items.filter((item) => ids.has(item.item_id));
  return new Map(shared.map((item, at) => [item.item_id, at]));
}

/**
 * `moves`: why an item is marked, by id. An item that only moved up because others left is not.
 * `gone`: items of `before` that are not in `now`. `changed`: places that hold another item.
 */
export function compare(before, now) {
  const ids = (items) => new Set(items.map((item) => item.item_id));
  const [was, is] = [ranksAmong(before, ids(now)), ranksAmong(now, ids(before))];
  const moves = new Map();
  for (const { item_id: id } of now) {
    if (!is.has(id)) moves.set(id, "new here");
    else if (is.get(id) < was.get(id)) moves.set(id, `up ${was.get(id) - is.get(id)}`);
  }
  const gone = before.filter((item) => !is.has(item.item_id));
  const places = Math.max(before.length, now.length);
  let changed = 0;
  for (let at = 0; at < places; at += 1) {
    if (before[at]?.item_id !== now[at]?.item_id) changed += 1;
  }
  return { moves, gone, changed };
}
