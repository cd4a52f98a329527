/* SPDX-License-Identifier: MIT */
#ifndef _LINUX_GIZMO_H
#define _LINUX_GIZMO_H

int sprocket_teeth(void);

#endif
