// Connection to the service. After a request without an answer, it is asked until it answers.

const FIRST = 500, LONGEST = 8000; // milliseconds between two attempts

/** Events: "lost" and "back". */
class Connection extends EventTarget {
  isLost = false;
  #timer = 0;

  lose() {
    if (this.isLost) return;
    this.isLost = true;
    this.dispatchEvent(new Event("lost"));
    this.#tryAfter(FIRST);
  }

  /** @param {number} wait */
  #tryAfter(wait) {
    this.#timer = setTimeout(() => this.#try(wait), wait);
  }

  tryNow() {
    clearTimeout(this.#timer);
    this.#try(FIRST);
  }

  /** @param {number} wait */
  async #try(wait) {
    try {
      const answer = await fetch("readyz");
      if (!answer.ok) throw new Error(answer.statusText);
      this.isLost = false;
      this.dispatchEvent(new Event("back"));
    } catch {
      this.#tryAfter(Math.min(wait * 2, LONGEST));
    }
  }
}

export const connection = new Connection();
