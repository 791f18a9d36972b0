# A guest that boots in no time: 64 KiB of ROM, no BIOS, no operating system.
#
# Twice a second it adds one to a counter, writes it to the first sector of its IDE disk, flushes the disk, and only then says it on
# its serial port: whatever was said is on the disk. A read, write or flush that fails is said, and tried again. Started again it goes on from the disk under a new run
# number. Before each write it reads the sector back; when that is not what it wrote last, another run of it is
# active on the same disk, and it says so.
#
# The sector: "QCOUNTER", counter (4 bytes), run number (4 bytes).

.intel_syntax noprefix
.code16

.set TICKS,     0x500           # counted by the timer's interrupt
.set COUNTER,   0x504
.set RUN,       0x508
.set SECTOR,    0x600           # 512 bytes, as read
.set STACK,     0x7000
.set COM1,      0x3f8
.set IDE,       0x1f0
.set TICKS_A_STEP, 50           # of 10 ms

.org 0
start:
    cli
    cld
    xor ax, ax
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov sp, STACK

    # The local APIC, where there is one, would keep the timer's interrupts from us.
    mov eax, 1
    cpuid
    test edx, 1 << 9
    jz no_apic
    mov ecx, 0x1b
    rdmsr
    and eax, ~(1 << 11)
    wrmsr
no_apic:

    # Interrupts 8 to 15 for the first controller, only the timer let through.
    mov al, 0x11
    out 0x20, al
    mov al, 8
    out 0x21, al
    mov al, 4
    out 0x21, al
    mov al, 1
    out 0x21, al
    mov al, 0xfe
    out 0x21, al
    mov word ptr [8 * 4], offset timer
    mov word ptr [8 * 4 + 2], cs
    # The timer: every 10 ms.
    mov al, 0x34
    out 0x43, al
    mov al, 11932 & 0xff
    out 0x40, al
    mov al, 11932 >> 8
    out 0x40, al

    # The serial port: 115200 8N1.
    mov dx, COM1 + 3
    mov al, 0x80
    out dx, al
    mov dx, COM1
    mov al, 1
    out dx, al
    inc dx
    xor al, al
    out dx, al
    mov dx, COM1 + 3
    mov al, 3
    out dx, al

    mov dword ptr [TICKS], 0
    mov dword ptr [COUNTER], 0
    rdtsc
    imul eax, eax, 0x9e3779b1
    mov [RUN], eax

    call read_sector
    call known_sector
    jne fresh
    mov eax, [SECTOR + 8]
    mov [COUNTER], eax
fresh:
    mov si, offset text_start
    call print
    call print_counter
    call write_sector
    sti

step:
    hlt
    cmp dword ptr [TICKS], TICKS_A_STEP
    jb step
    sub dword ptr [TICKS], TICKS_A_STEP
    call read_sector
    call known_sector
    jne foreign
    mov eax, [SECTOR + 8]
    cmp eax, [COUNTER]
    jne foreign
    mov eax, [SECTOR + 12]
    cmp eax, [RUN]
    je ours
foreign:
    mov si, offset text_foreign
    call print
    mov eax, [SECTOR + 8]
    call print_hex
    mov si, offset text_run
    call print
    mov eax, [SECTOR + 12]
    call print_hex
    call print_newline
ours:
    inc dword ptr [COUNTER]
    call write_sector
    mov si, offset text_count
    call print
    call print_counter
    jmp step

timer:
    push ax
    push ds
    xor ax, ax
    mov ds, ax
    inc dword ptr [TICKS]
    mov al, 0x20
    out 0x20, al
    pop ds
    pop ax
    iret

# Equal when the sector begins with our mark.
known_sector:
    cmp dword ptr [SECTOR], 0x554f4351
    jne 1f
    cmp dword ptr [SECTOR + 4], 0x5245544e
1:  ret

# The disk: sector 0 of the first one, by programmed I/O.
select_sector:
    call wait_idle
    mov dx, IDE + 6
    mov al, 0xe0
    out dx, al
    mov dx, IDE + 2
    mov al, 1
    out dx, al
    xor al, al
    inc dx
    out dx, al
    inc dx
    out dx, al
    inc dx
    out dx, al
    ret

read_sector:
    call select_sector
    mov dx, IDE + 7
    mov al, 0x20
    out dx, al
    call wait_data
    jnz read_failed
    mov di, SECTOR
    mov cx, 256
    mov dx, IDE
    rep insw
    call wait_done
    jnz read_failed
    ret
read_failed:
    mov si, offset text_error
    call print
    jmp read_sector

write_sector:
    mov dword ptr [SECTOR], 0x554f4351
    mov dword ptr [SECTOR + 4], 0x5245544e
    mov eax, [COUNTER]
    mov [SECTOR + 8], eax
    mov eax, [RUN]
    mov [SECTOR + 12], eax
    call select_sector
    mov dx, IDE + 7
    mov al, 0x30
    out dx, al
    call wait_data
    jnz write_failed
    mov si, SECTOR
    mov cx, 256
    mov dx, IDE
    rep outsw
    # The next command would wipe out that this one has failed.
    call wait_done
    jnz write_failed
    mov dx, IDE + 7
    mov al, 0xe7
    out dx, al
    call wait_done
    jnz write_failed
    ret
write_failed:
    mov si, offset text_error
    call print
    jmp write_sector

# Until the disk is not busy; its status is in al.
wait_idle:
    mov dx, IDE + 7
1:  in al, dx
    test al, 0x80
    jnz 1b
    ret

# Until it has or wants data, or has failed: not zero then.
wait_data:
    call wait_idle
    test al, 0x29
    jz wait_data
    test al, 0x21
    ret

# Until it has done a command; not zero when that has failed.
wait_done:
    call wait_idle
    test al, 0x21
    ret

print_counter:
    mov eax, [COUNTER]
    call print_hex
    mov si, offset text_run
    call print
    mov eax, [RUN]
    call print_hex
print_newline:
    mov si, offset text_newline

# The text at cs:si, up to its zero.
print:
    mov al, cs:[si]
    inc si
    test al, al
    jz 1f
    call print_character
    jmp print
1:  ret

.include "counter-say.s"

.org 0xfff0
    .byte 0xea                  # far jump to f000:0000
    .word 0x0000, 0xf000
.org 0xffff
    .byte 0
