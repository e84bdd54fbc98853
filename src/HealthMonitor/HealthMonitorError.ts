/**
 * What can be wrong with the options and selections of a monitor; what is wrong with the database is in its reports.
 */
import * as Data from "effect/Data"
import { didYouMean } from "../DatabaseConfig/suggest.ts"

/**
 * @since 0.1.0
 * @category errors
 */
export class HealthMonitorError extends Data.TaggedError("HealthMonitorError")<{
  readonly reason: "UnknownCheck" | "UnknownThreshold" | "DuplicateCheck"
  readonly operation: string
  /** The name that was given. */
  readonly name: string
  /** The names there are. */
  readonly known: ReadonlyArray<string>
}> {
  override get message(): string {
    switch (this.reason) {
      case "UnknownCheck":
        return `${this.operation}: there is no health check ${this.name}${didYouMean(this.name, this.known)}`
      case "UnknownThreshold":
        return `${this.operation}: there is no threshold ${this.name}${didYouMean(this.name, this.known)}`
      case "DuplicateCheck":
        return `${this.operation}: two health checks have the id ${this.name}; give yours another one`
    }
  }
}
