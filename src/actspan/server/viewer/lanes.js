// Lanes of proposals: the best first, each in the highest lane that has room.

export function packLanes(proposals, most) {
  const lanes = [];
  const placed = [];
  for (const p of proposals) {
    const free = lanes.findIndex((lane) => !lane.some((q) => q.start < p.end && p.start < q.end));
    const lane = free >= 0 ? free : lanes.length;
    if (lane >= most) continue;
    (lanes[lane] ??= []).push(p);
    placed.push({ ...p, lane });
  }
  return { lanes: lanes.length, placed };
}
