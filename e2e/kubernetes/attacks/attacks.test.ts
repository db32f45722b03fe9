/**
 * The attacks of docs/threat-model.md, each named by its number there, tried in both modes on a whole cluster. Each has a control: the same
 * where Chaperone is not, which has to work.
 */
import { after, before, describe } from 'node:test';
import { attacksByAdmission } from './admission.ts';
import { attacksOnIdentity } from './identity.ts';
import { attacksFromInside } from './inside.ts';
import { attacksOverTime } from './lifetime.ts';
import { attacksByPackets } from './network.ts';
import { attacksAsRoot } from './root.ts';
import { openStage, type Stage } from './stage.ts';

describe('attacks', { timeout: 1_800_000 }, () => {
  let stage: Stage;
  before(async () => {
    stage = await openStage();
  });
  after(() => stage?.close());
  const stageOf = () => stage;

  attacksByPackets(stageOf);
  attacksOnIdentity(stageOf);
  attacksFromInside(stageOf);
  attacksByAdmission(stageOf);
  attacksAsRoot(stageOf);
  // Last, for these are hard on the agents' pods.
  attacksOverTime(stageOf);
});
