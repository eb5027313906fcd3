/* CPU probes for ARM (grulet_arm.c): does the CPU have the instructions? */
#ifndef GRULET_ARM_H
#define GRULET_ARM_H

int grulet_arm_has_neon(void);
int grulet_arm_has_dotprod(void);
int grulet_arm_has_i8mm(void); /* and where it is the faster one */

#endif
