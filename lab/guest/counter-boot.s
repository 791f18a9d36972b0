# The counting guest as a boot sector, for whoever gives a guest nothing but a disk: the BIOS starts it from there and drives the disk,
# whatever it hangs on.
#
# It counts like counter.s, in the second sector of the disk that it was started from, and says on its serial port only what the disk
# has taken. It need not flush: a BIOS asks no virtio disk for its write cache, and QEMU flushes each write of such a guest before it tells
# it that it is done (the story of a disk that cannot flush proves it). The record is the same: "QCOUNTER", counter (4 bytes), run number (4 bytes).

.intel_syntax noprefix
.code16

.set COUNTER,   0x504
.set RUN,       0x508
.set DRIVE,     0x50c
.set SECTOR,    0x600           # 512 bytes, as read
.set STACK,     0x7000
.set COM1,      0x3f8
.set CLOCK,     0x46c           # the BIOS counts its timer's interrupts there, 18.2 a second
.set TICKS_A_STEP, 9

.org 0
start:
    cli
    cld
    xor ax, ax
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov sp, STACK
    sti
    mov [DRIVE], dl

    # The serial port: 115200 8N1.
    mov dx, COM1 + 3
    mov al, 0x83
    out dx, al
    mov dx, COM1
    mov al, 1
    out dx, al
    mov dx, COM1 + 3
    mov al, 3
    out dx, al

    mov dword ptr [COUNTER], 0
    rdtsc
    imul eax, eax, 0x9e3779b1
    mov [RUN], eax

    mov ah, 2
    call disk
    cmp dword ptr [SECTOR], 0x554f4351
    jne fresh
    mov eax, [SECTOR + 8]
    mov [COUNTER], eax
fresh:
    mov si, offset text_start
    call print_counter
    call write_sector

step:
    mov ebx, [CLOCK]
1:  hlt
    mov eax, [CLOCK]
    sub eax, ebx
    cmp eax, TICKS_A_STEP
    jb 1b

    mov ah, 2
    call disk
    mov eax, [SECTOR + 8]
    cmp eax, [COUNTER]
    jne foreign
    mov eax, [SECTOR + 12]
    cmp eax, [RUN]
    je ours
foreign:
    mov si, offset text_foreign
    mov di, SECTOR + 8
    call print_record
ours:
    inc dword ptr [COUNTER]
    call write_sector
    mov si, offset text_count
    call print_counter
    jmp step

write_sector:
    mov dword ptr [SECTOR], 0x554f4351
    mov dword ptr [SECTOR + 4], 0x5245544e
    mov eax, [COUNTER]
    mov [SECTOR + 8], eax
    mov eax, [RUN]
    mov [SECTOR + 12], eax
    mov ah, 3

# Reads (ah = 2) or writes (ah = 3) the record, until the disk has done it.
disk:
    push ax
    mov al, 1
    mov bx, SECTOR
    mov cx, 2
    mov dh, 0
    mov dl, [DRIVE]
    int 0x13
    pop ax
    jnc 1f
    mov si, offset text_error
    push ax
    call print
    pop ax
    jmp disk
1:  ret

# The text at si, and the counter and the run number at di.
print_counter:
    mov di, COUNTER
print_record:
    call print
    mov eax, [di]
    call print_hex
    mov si, offset text_run
    call print
    mov eax, [di + 4]
    call print_hex
    mov si, offset text_newline

print:
    lodsb
    test al, al
    jz 1f
    call print_character
    jmp print
1:  ret

.include "counter-say.s"

.org 510
    .byte 0x55, 0xaa
