/**
 * The failure of reading configuration: names the option, where its value came from, and why it was refused.
 */
import * as Data from "effect/Data"

/**
 * A configuration that cannot be used. It never quotes a secret.
 *
 * @since 0.1.0
 * @category errors
 */
export class DatabaseConfigError extends Data.TaggedError("DatabaseConfigError")<{
  readonly reason: "InvalidValue" | "UnknownName" | "Conflict" | "FileUnreadable"
  /** The option, as it is spelt in `Options`. */
  readonly option: string
  /** Where the value came from: a variable, `DATABASE_URL sslmode`, a file. Absent for an explicit option. */
  readonly source?: string | undefined
  /** Why, and what would be right. */
  readonly description: string
  readonly cause?: unknown
}> {
  override get message(): string {
    const source = this.source === undefined || this.source === "option" ? "" : ` (from ${this.source})`
    return `option ${this.option}${source}: ${this.description}`
  }
}
