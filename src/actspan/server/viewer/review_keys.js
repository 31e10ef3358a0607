// Keys of the review; they come before the others while proposals are reviewed.

/** @import { Mode } from "./keys.js" */
/** @import { Pointer } from "./pointer.js" */
/** @import { Review } from "./review.js" */
/** @import { ReviewTab } from "./review_tab.js" */

/** @type {[keys: string, description: string, action: string][]} */
const REVIEW_KEYS = [
  ["A", "accept", "accept"], ["Enter", "accept", "accept"], ["X", "reject", "reject"],
  ["1 – 9", "accept with the label of this number", "label"], ["L", "accept with another label", "other"],
  ["S", "decide later", "later"],
  ["[", "start one frame back", "startBack"], ["]", "start one frame forward", "startOn"],
  ["{", "end one frame back", "endBack"], ["}", "end one frame forward", "endOn"],
  ["I", "start here", "setStart"], ["O", "end here", "setEnd"],
  ["Ctrl Z", "undo a move or a decision", "undo"], ["Ctrl Shift Z", "redo a decision", "redo"],
  ["Escape", "cancel a drag, or end the review", "leave"],
];

/**
 * @param {Review} review
 * @param {ReviewTab} tab
 * @param {Pointer} pointer
 * @returns {Mode}
 */
export const reviewKeys = (review, tab, pointer) => ({
  title: "While proposals are reviewed", keys: REVIEW_KEYS, isOn: () => review.isOn,
  actions: {
    accept: () => review.decide("accepted"), reject: () => review.decide("rejected"), later: () => review.later(),
    label: (key) => tab.acceptWith(Number(key)), other: () => tab.focusLabel(),
    startBack: () => review.step("start", -1), startOn: () => review.step("start", 1),
    endBack: () => review.step("end", -1), endOn: () => review.step("end", 1),
    setStart: () => review.setEdge("start"), setEnd: () => review.setEdge("end"),
    undo: () => review.undo(), redo: () => review.redo(),
    leave: () => { if (!pointer.cancel()) review.leave(); },
  },
});
