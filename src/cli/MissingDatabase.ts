/**
 * The one failure to connect that `plinth setup` can mend.
 */
import { DatabaseError } from "../DatabaseError.ts"

/** The database does not exist (3D000). */
export const isMissing = (error: unknown): error is DatabaseError =>
  error instanceof DatabaseError && error.sqlState === "3D000"
