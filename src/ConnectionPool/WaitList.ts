/**
 * Whoever waits for a connection: first come, first served within a class, and a share for each class.
 *
 * One intrusive list per class. Which class is next is decided by stride scheduling (Waldspurger and Weihl, 1995): each
 * has a pass that grows by the inverse of its share whenever it is served, and the smallest pass is next. So a class
 * gets at least its share while all wait, and what nobody else wants besides.
 */

/**
 * How urgent a statement is when connections are short.
 *
 * @since 0.1.0
 * @category models
 */
export type Priority = "high" | "normal" | "low"

/** Of ten connections that are handed to waiters while all classes wait. */
const shares: { readonly [priority in Priority]: number } = { high: 6, normal: 3, low: 1 }

const priorities = ["high", "normal", "low"] as const

/** A place in a list. */
export interface Waiter {
  readonly priority: Priority
  /** Monotonic milliseconds. */
  readonly since: number
  previous: this | undefined
  next: this | undefined
}

interface Class<W> {
  head: W | undefined
  tail: W | undefined
  length: number
  pass: number
}

const emptyClass = <W>(): Class<W> => ({ head: undefined, tail: undefined, length: 0, pass: 0 })

export class WaitList<W extends Waiter> {
  length = 0
  private readonly classes: { readonly [priority in Priority]: Class<W> } = {
    high: emptyClass(),
    normal: emptyClass(),
    low: emptyClass()
  }
  /** The pass of the class that was served last: one that comes back does not make up for its absence. */
  private pass = 0

  /** Waits behind its class; in front is for one whose turn it was already. */
  push(waiter: W, end: "front" | "back" = "back"): void {
    const { priority } = waiter
    const queue = this.classes[priority]
    this.length++
    if (queue.length++ === 0) queue.pass = Math.max(queue.pass, this.pass)
    if (queue.head === undefined || queue.tail === undefined) {
      queue.head = waiter
      queue.tail = waiter
    } else if (end === "back") {
      waiter.previous = queue.tail
      queue.tail.next = waiter
      queue.tail = waiter
    } else {
      waiter.next = queue.head
      queue.head.previous = waiter
      queue.head = waiter
    }
  }

  /** Takes out whoever is next. */
  shift(): W | undefined {
    const queue = this.next()
    if (queue?.head === undefined) return undefined
    const { head } = queue
    this.pass = queue.pass
    queue.pass += 1 / shares[head.priority]
    this.remove(head)
    return head
  }

  /** Takes out whoever has waited since before a moment, the longest first. */
  shiftBefore(moment: number): W | undefined {
    const { oldest } = this
    if (oldest === undefined || oldest.since > moment) return undefined
    this.remove(oldest)
    return oldest
  }

  remove(waiter: W): void {
    const queue = this.classes[waiter.priority]
    this.length--
    queue.length--
    if (waiter.previous === undefined) queue.head = waiter.next
    else waiter.previous.next = waiter.next
    if (waiter.next === undefined) queue.tail = waiter.previous
    else waiter.next.previous = waiter.previous
    waiter.previous = undefined
    waiter.next = undefined
  }

  /** Whoever has waited longest. */
  get oldest(): W | undefined {
    let oldest: W | undefined
    for (const priority of priorities) {
      const { head } = this.classes[priority]
      if (head !== undefined && (oldest === undefined || head.since < oldest.since)) oldest = head
    }
    return oldest
  }

  /** About how many are served before one that comes now: its own class, and of the others by their shares. */
  ahead(priority: Priority): number {
    const turns = this.classes[priority].length + 1
    let ahead = turns - 1
    for (const other of priorities) {
      if (other !== priority) ahead += Math.min(this.classes[other].length, (turns * shares[other]) / shares[priority])
    }
    return ahead
  }

  private next(): Class<W> | undefined {
    let next: Class<W> | undefined
    for (const priority of priorities) {
      const queue = this.classes[priority]
      if (queue.length > 0 && (next === undefined || queue.pass < next.pass)) next = queue
    }
    return next
  }
}
