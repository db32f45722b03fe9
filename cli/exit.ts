/** Exit codes of every command; `chaperone --help` lists them. */
export const EXIT = {
  ok: 0,
  /** It failed, or it found what it looks for: problems in manifests, a recording that does not verify. */
  failed: 1,
  usage: 2,
  /** `simulate`: denied. `approvals`: the decision was refused. */
  denied: 3,
  /** `simulate`: held for an approval. */
  held: 4,
} as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** A user's error: printed as one line, without a stack trace. */
export class CliError extends Error {
  override readonly name = 'CliError';
  readonly exitCode: ExitCode;

  constructor(message: string, exitCode: ExitCode = EXIT.failed) {
    super(message);
    this.exitCode = exitCode;
  }
}

export const usageError = (message: string): CliError => new CliError(message, EXIT.usage);
