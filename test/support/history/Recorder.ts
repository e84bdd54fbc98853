/**
 * Writes a history down while it happens.
 */
import type { Moment, Operation, Outcome } from "./Operation.ts"

export type About = Pick<Operation, "session" | "key" | "kind" | "level" | "how">

/** An operation that has not completed. */
export interface Invoked {
  readonly id: number
  readonly complete: (outcome: Outcome) => void
}

/** Something that was done to a server meanwhile. */
export interface Incident {
  readonly millis: number
  readonly text: string
}

export class Recorder {
  readonly operations: Array<Operation> = []
  readonly incidents: Array<Incident> = []
  private readonly start = performance.now()
  private places = 0
  private ids = 0

  /** From now on the operation may have had its effect. */
  invoke(about: About): Invoked {
    const id = ++this.ids
    const invoked = this.moment()
    return {
      id,
      complete: (outcome) => this.operations.push({ id, ...about, invoked, completed: this.moment(), outcome })
    }
  }

  incident(text: string): void {
    this.incidents.push({ millis: this.elapsed(), text })
  }

  private moment(): Moment {
    return { place: this.places++, millis: this.elapsed() }
  }

  private elapsed(): number {
    return Math.round(performance.now() - this.start)
  }
}
