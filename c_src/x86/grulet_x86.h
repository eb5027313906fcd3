/* CPU probes for x86 (grulet_x86.c).  Each says whether the CPU has the instructions AND the operating system saves the
 * registers they use. */
#ifndef GRULET_X86_H
#define GRULET_X86_H

int grulet_x86_has_avx2(void);
int grulet_x86_has_avxvnni(void);
int grulet_x86_has_avx512vnni(void);

#endif
