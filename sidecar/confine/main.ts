/** The containers around an injected pod's sidecar in Transparent mode, in its image: `rules` sets the network rules, `validate-rules` proves them. */
import { applyRules } from './apply-rules.ts';
import { validateRules } from './validate-rules.ts';

const [command, ...args] = process.argv.slice(2);
const say = (level: 'info' | 'error', message: string) =>
  void process.stderr.write(`${JSON.stringify({ level, time: new Date().toISOString(), message })}\n`);
try {
  await main();
} catch (error: unknown) {
  say('error', error instanceof Error ? error.message : 'unknown');
  process.exitCode = 1;
}

async function main(): Promise<void> {
  switch (command) {
    case 'rules':
      await applyRules(args);
      return say('info', 'the network rules are in force');
    case 'validate-rules':
      for (const line of await validateRules(args)) say('info', line);
      return;
    default:
      throw new Error('write `rules` or `validate-rules`');
  }
}
